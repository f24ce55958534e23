// Eight vectors of eight elements, r0 … r7 of type T8, turned: ck holds element k of each.
#define SHUFFLE8 __builtin_shufflevector
#define TURN_PAIR(T8, a, b)                                                                              \
  const T8 p##a = SHUFFLE8(r##a, r##b, 0, 8, 2, 10, 4, 12, 6, 14), p##b = SHUFFLE8(r##a, r##b, 1, 9, 3, 11, 5, 13, 7, 15);
#define TURN_FOUR(T8, a, b)                                                                              \
  const T8 q##a = SHUFFLE8(p##a, p##b, 0, 1, 8, 9, 4, 5, 12, 13), q##b = SHUFFLE8(p##a, p##b, 2, 3, 10, 11, 6, 7, 14, 15);
#define TURN_EIGHT(T8, a, b)                                                                             \
  const T8 c##a = SHUFFLE8(q##a, q##b, 0, 1, 2, 3, 8, 9, 10, 11), c##b = SHUFFLE8(q##a, q##b, 4, 5, 6, 7, 12, 13, 14, 15);
#define TURN(T8)                                                                                         \
  TURN_PAIR(T8, 0, 1) TURN_PAIR(T8, 2, 3) TURN_PAIR(T8, 4, 5) TURN_PAIR(T8, 6, 7)                        \
  TURN_FOUR(T8, 0, 2) TURN_FOUR(T8, 1, 3) TURN_FOUR(T8, 4, 6) TURN_FOUR(T8, 5, 7)                        \
  TURN_EIGHT(T8, 0, 4) TURN_EIGHT(T8, 1, 5) TURN_EIGHT(T8, 2, 6) TURN_EIGHT(T8, 3, 7)
