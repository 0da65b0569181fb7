"""N7: objects whose time is over go by themselves."""

from .mesh import Mesh


def test_n7_an_object_put_while_the_node_runs_goes_when_its_time_is_over():
    mesh = Mesh("alice")
    core = mesh["alice"].core
    mesh.run(100)
    now_ms = core.wall.ms(mesh.now)
    kept = core.objects.put(b"for ever", now_ms=now_ms)
    short = core.objects.put(b"for a minute", now_ms=now_ms, ttl_s=60)
    long = core.objects.put(b"for an hour", now_ms=now_ms, ttl_s=3600)
    assert core.wake_at <= mesh.now + 60.001
    mesh.run(59)
    assert [one.id for one in core.objects.all()] == [kept.id, short.id, long.id]
    mesh.run(3)
    assert [one.id for one in core.objects.all()] == [kept.id, long.id]
    mesh.run(3600)
    assert [one.id for one in core.objects.all()] == [kept.id]
