"""One command API under five times what it can do: P15 at the size of the gate.

Other tests run at the same time, more of them in one phase than in another, so rates are compared for the same time of
the processor, and by the clock far less is asked than `make chaos` asks; of answers everything is.
"""

import pytest

from tests.chaos.overload import Bounds, overload
from tests.sizes import FLOOD_S

PEAK_S = 2.0
LIGHT_S = 1.5
WHILE_OTHERS_RUN = Bounds(
    goodput_share=0.02, processor_share=0.3, offered_share=0.3, accepted_p99_s=15.0, normal_within_s=15.0
)

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def test_five_times_what_an_api_can_do_costs_little_of_what_it_does_and_the_rest_is_asked_to_come_again(
    settings, tmp_path, capsys
):
    found = overload(tmp_path, settings=settings, peak_s=PEAK_S, light_s=LIGHT_S, flood_s=float(FLOOD_S.gate))
    with capsys.disabled():
        print(f"\n{found}")

    assert [] == list(found.violations(WHILE_OTHERS_RUN))
    assert found.shed > 0
