"""How long silence may last."""

from mesh.liveness import PING_INTERVAL_S, SILENCE_LEAST_S, SILENCE_MOST_S, Liveness


def heard(times: list[float]) -> Liveness:
    liveness = Liveness()
    liveness.expect("peer", times[0])
    for now in times:
        liveness.hears("peer", now)
    return liveness


def test_regular_pings_allow_the_least_silence():
    liveness = heard([number * PING_INTERVAL_S for number in range(50)])
    last = 49 * PING_INTERVAL_S
    assert liveness.limit_s("peer") == SILENCE_LEAST_S
    assert liveness.silent(last + SILENCE_LEAST_S - 0.01) == []
    assert liveness.silent(last + SILENCE_LEAST_S + 0.01) == ["peer"]


def test_one_long_gap_widens_the_limit_at_once_and_it_narrows_slowly():
    liveness = heard([0.0, 5.0])
    assert liveness.limit_s("peer") == 40.0  # eight such gaps
    for number in range(1, 11):
        liveness.hears("peer", 5.0 + number * PING_INTERVAL_S)
    assert 20.0 < liveness.limit_s("peer") < 40.0
    for number in range(11, 200):
        liveness.hears("peer", 5.0 + number * PING_INTERVAL_S)
    assert liveness.limit_s("peer") == SILENCE_LEAST_S


def test_nobody_is_waited_for_without_end():
    assert heard([0.0, 100.0, 200.0]).limit_s("peer") == SILENCE_MOST_S


def test_a_peer_that_never_spoke_is_noticed_and_one_that_is_gone_is_not():
    liveness = Liveness()
    liveness.expect("peer", 5.0)
    liveness.expect("peer", 6.0)  # a second time changes nothing
    assert liveness.silent(5.0 + SILENCE_LEAST_S + 0.1) == ["peer"]
    liveness.forget("peer")
    assert liveness.silent(100.0) == []
