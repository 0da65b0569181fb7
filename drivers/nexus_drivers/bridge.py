"""Plain texts beside the frames of a Meshtastic device: the device's side of docs/bridge.md (N17)."""

import trio

from nexus_drivers.radio import Session
from nexus_firmware.meshtastic_modem import MeshtasticModem
from nexus_firmware.meshtastic_texts import Outcome, Texts
from nexus_node.base.foreign import foreign_id, foreign_number
from nexus_node.ports.driver import ForeignText, TextFate, TextPort

_FATES = {
    Outcome.TAKEN: TextFate.TAKEN,
    Outcome.REPEATED: TextFate.REPEATED,
    Outcome.ACKNOWLEDGED: TextFate.ACKNOWLEDGED,
    Outcome.RETRY: TextFate.RETRY,
    Outcome.REFUSED: TextFate.REFUSED,
}


async def carry_texts(session: Session, modem: MeshtasticModem, texts: Texts) -> None:
    """Move texts between the node and the device, until cancelled."""
    with session.port.bridge() as port:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hand_up, session, modem, texts, port)
            await _send(session, modem, texts, port)


async def _hand_up(session: Session, modem: MeshtasticModem, texts: Texts, port: TextPort) -> None:
    while True:
        while texts.heard:
            one = texts.heard.popleft()
            name = modem.name_of(one.sender)
            port.deliver(ForeignText(foreign_id(one.sender), name, one.packet_id, one.payload, one.direct))
        while texts.outcomes:
            number, outcome, words = texts.outcomes.popleft()
            port.fate(number, _FATES[outcome], words)
        await session.news()


async def _send(session: Session, modem: MeshtasticModem, texts: Texts, port: TextPort) -> None:
    while True:
        part = port.next_text()
        if part is None:
            await port.wait()
            continue
        await trio.sleep_until(texts.next_at)
        await session.until_free()
        if port.next_text() != part:
            continue  # it was given up meanwhile
        session.bill(modem.text_airtime(len(part.text)))
        modem.send_text(foreign_number(part.to), part.text, part.token, trio.current_time())
        port.took(part)
        session.gave()
