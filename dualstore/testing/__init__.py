"""For tests of what is built on this library, and of backends of one's own.

A scenario is only as safe as the worst moment at which one of its calls can fail. So count them
first, and then fail each of them once, in every way:

    faults = Faults()
    async with fresh_backends() as inner:  # `Backends`, new and empty ones each time
        await scenario(faulty(inner, faults))

    for number in range(1, len(faults.calls) + 1):
        for fault in Fault:
            faults = Faults()
            faults.plan(number, fault=fault)
            async with fresh_backends() as inner:
                backends = faulty(inner, faults)
                # In a task of its own, which may be cancelled; its error becomes a result.
                await asyncio.gather(scenario(backends), return_exceptions=True)
                faults.heal()
                await scenario(backends)  # the same again, with nothing in the way
                await check(inner)  # nothing lost, nothing twice, nothing left behind

With another `Faults.victim` a cancellation hits that task, whichever task makes the call.
"""

from dualstore.testing.doubles import FakeClock, Recorder
from dualstore.testing.faults import Fault, Faults
from dualstore.testing.faulty import faulty

__all__ = ["FakeClock", "Fault", "Faults", "Recorder", "faulty"]
