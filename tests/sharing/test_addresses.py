"""From where a shared server is reached."""

from core.sharing.addresses import OWN, choose, names


def test_addresses_that_nobody_else_reaches_are_not_told():
    found = [
        "",
        "127.0.0.1",
        "169.254.3.4",
        "0.0.0.0",
        "192.168.1.7",
        "10.0.0.3",
        "192.168.1.7",
        "224.0.0.1",
        "nonsense",
    ]
    assert choose(found) == ("192.168.1.7", "10.0.0.3")


def test_names_hold_this_machine_and_what_is_said_further():
    found = names(["Talk.Example"])
    assert found[:2] == OWN
    assert found[-1] == "talk.example"
    assert len(set(found)) == len(found)
