"""The rylr package against the emulated RYLR998 (T1)."""


def test_rylr(peer, emulator):
    ports = [emulator("rylr998") for _ in range(2)]
    found = peer("rylr", "rylr_modules.py", *ports)
    assert found["address"] == ["+ADDRESS=1", "+ADDRESS=2"]
    assert found["network"] == "+NETWORKID=10"
    assert found["said"] == "OK"
    assert found["sent"] == ["+OK"]
    assert found["heard"] == ["+RCV=1,5,hello,-80,10"]
    assert found["answer"] == ["+RCV=2,29,a longer answer, with a comma,-80,10"]
