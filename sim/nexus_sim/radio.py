"""Senders around one receiver, as in LoRaSim: how many packets get through.

The receiver is the channel's (`nexus_sim.reception.Ear`), so that its rules are those of every simulation.
Each sender waits an exponential time after the end of its packet; one that begins before the horizon counts.
"""

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from statistics import fmean, stdev
from typing import Any, NamedTuple

from nexus_sim.modem import Modem
from nexus_sim.propagation import LORASIM_DBM, LogDistance, Shadowing, lorasim_sensitivity, snr_sensitivity
from nexus_sim.reception import GOURSAUD, Ear, Fate, Reception, Rules
from nexus_sim.settings import RadioSetting

FASTEST = [(factor, bandwidth) for factor in range(7, 13) for bandwidth in (125_000, 250_000, 500_000)]
"""What "fastest" chooses from (LoRaSim, experiment 3)."""
RECEIVER = -1
"""Its number; the senders' are 0 and up."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A node and how its packets arrive."""

    modem: Modem
    rssi_dbm: float
    airtime_s: float
    reaches: bool


@dataclass(frozen=True, slots=True)
class RadioRun:
    """What became of the packets of one seed."""

    seed: int
    fates: Counter[Fate]
    airtime_s: float
    """All senders together."""

    @property
    def sent(self) -> int:
        return self.fates.total()

    @property
    def der(self) -> float | None:
        """Data extraction rate: the share of the packets sent that was received; None without any."""
        return self.fates[Fate.RECEIVED] / self.sent if self.sent else None


@dataclass(slots=True)
class RadioResult:
    """The runs of several seeds."""

    runs: list[RadioRun] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """The figures of `nexus-sim radio`: counts over all seeds; the standard deviation between seeds."""
        rates = [run.der for run in self.runs if run.der is not None]
        fates = sum((run.fates for run in self.runs), Counter[Fate]())
        return {
            "der_mean": round(fmean(rates), 6) if rates else None,
            "der_sd": round(stdev(rates), 6) if len(rates) > 1 else 0.0,
            "sent": fates.total(),
            **{
                fate.name.lower(): fates[fate]
                for fate in (Fate.RECEIVED, Fate.COLLIDED, Fate.INTERFERED, Fate.BUSY, Fate.TOO_WEAK)
            },
            "airtime_s": round(sum(run.airtime_s for run in self.runs), 3),
            "seeds": [run.seed for run in self.runs],
        }


def simulate(setting: RadioSetting, seeds: int) -> RadioResult:
    """Run a setting with so many seeds, from its own on."""
    return RadioResult([run(setting, seed) for seed in range(setting.seed, setting.seed + seeds)])


def run(setting: RadioSetting, seed: int) -> RadioRun:
    """Run a setting once."""
    senders = place(setting, seed)
    ear = Ear(rules_of(setting))
    chance = random.Random(f"{seed} intervals").random
    log, mean, horizon = math.log, setting.mean_interval_s, setting.horizon_s
    due = [(-mean * log(1 - chance()), number) for number in range(len(senders))]
    heapify(due)
    last: list[Reception | None] = [None] * len(senders)
    fates: Counter[Fate] = Counter()
    sent = [0] * len(senders)
    while due[0][0] < horizon:
        now, number = due[0]
        sender = senders[number]
        end = now + sender.airtime_s
        heapreplace(due, (end - mean * log(1 - chance()), number))
        sent[number] += 1
        if sender.reaches:
            # The sender's packet before is over, so what became of it is known.
            before = last[number]
            if before is not None:
                fates[ear.settle(before)] += 1
            last[number] = reception = Reception(sender.modem, sender.rssi_dbm, now, end)
            ear.arrive(reception, now)
    fates.update(ear.settle(one) for one in last if one is not None)
    fates[Fate.TOO_WEAK] = sum(sent) - fates.total()
    airtime = sum(count * sender.airtime_s for count, sender in zip(sent, senders, strict=True))
    return RadioRun(seed, fates, airtime)


def rules_of(setting: RadioSetting) -> Rules:
    """The receiver's rules."""
    isolation = GOURSAUD if setting.isolation == "goursaud" else None
    return Rules(setting.capture, setting.capture_db, setting.max_concurrent, isolation)


def place(setting: RadioSetting, seed: int) -> list[Sender]:
    """Put the senders uniformly into the disc around the receiver, and set their radios."""
    chance = random.Random(f"{seed} places")
    loss = setting.pathloss
    model = LogDistance(loss.model == "ln", loss.d0, loss.pl0, loss.gamma)
    shadowing = Shadowing(setting.shadowing_db, seed)
    choices = {frequency: _choices(setting, frequency) for frequency in setting.frequencies}
    senders = []
    for number in range(setting.nodes):
        distance = setting.radius_m * math.sqrt(chance.random())
        rssi = setting.tx_dbm - model.loss_db(distance) - shadowing.between(RECEIVER, number)
        senders.append(_choose(choices[chance.choice(setting.frequencies)], rssi))
    return senders


class _Choice(NamedTuple):
    """A way to set a radio."""

    airtime_s: float
    sensitivity_dbm: float
    modem: Modem


def _choices(setting: RadioSetting, frequency: float) -> list[_Choice]:
    """What a sender may be set to: the one of the setting, or any that "fastest" chooses from."""
    factor = setting.spreading_factor
    settings = FASTEST if factor == "fastest" else [(factor, setting.bandwidth)]
    modems = [modem_of(setting, frequency, *one) for one in settings]
    return [_Choice(one.airtime(setting.payload), sensitivity_of(setting, one), one) for one in modems]


def _choose(choices: list[_Choice], rssi: float) -> Sender:
    """The least time on air that reaches the receiver; if none does, the farthest reach, to no avail."""
    reaching = [one for one in choices if rssi >= one.sensitivity_dbm]
    if reaching:
        best = min(reaching, key=lambda one: one.airtime_s)
    else:
        best = min(choices, key=lambda one: one.sensitivity_dbm)
    return Sender(best.modem, rssi, best.airtime_s, bool(reaching))


def modem_of(setting: RadioSetting, frequency: float, factor: int, bandwidth: float) -> Modem:
    """A radio's settings; without a `chip`, spreading factor 6 is the SX127x's, as in LoRaSim."""
    chip = setting.chip or ("sx127x" if factor == 6 else "sx126x")
    explicit = not (factor == 6 and chip == "sx127x")
    return Modem(frequency, factor, bandwidth, setting.coding_rate, setting.preamble, explicit, chip)


def sensitivity_of(setting: RadioSetting, modem: Modem) -> float:
    """By the setting; without one, LoRaSim's table where it has the row."""
    has_row = (modem.spreading_factor, modem.bandwidth) in LORASIM_DBM
    table = has_row if setting.sensitivity is None else setting.sensitivity == "lorasim"
    return lorasim_sensitivity(modem) if table else snr_sensitivity(modem)
