// shared[i] = COMBINE of the values of the items 0 … i of the work-group (by doubling). Define SCAN_T and COMBINE first.
// All items have to call it; the caller waits with a barrier before `shared` is used for something else.
void group_scan(const SCAN_T value, __local SCAN_T *shared) {
  const int i = get_local_id(0), count = get_local_size(0);
  shared[i] = value;
  barrier(CLK_LOCAL_MEM_FENCE);
  for (int reach = 1; reach < count; reach *= 2) {
    const SCAN_T before = shared[i >= reach ? i - reach : 0];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (i >= reach) {
      const SCAN_T own = shared[i];
      shared[i] = COMBINE(before, own);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
  }
}
