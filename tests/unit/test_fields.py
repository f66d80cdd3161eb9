"""What is said of a field that breaks a rule of the protos."""

import pytest

from atoll.billing.v1.charge_pb2 import CORRECTION_REASON_UNSPECIFIED, CORRECTION_REASON_WAIVER, CorrectionReason
from atoll.billing.v1.charge_service_pb2 import CorrectChargeRequest
from chassis.errors import BadRequest
from chassis.fields import check_fields


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (CORRECTION_REASON_UNSPECIFIED, "is not set, and is needed"),
        (CORRECTION_REASON_WAIVER, "may not be this one here"),
    ],
)
def test_a_choice_that_is_not_made_or_not_open_is_told_in_words(reason: CorrectionReason.ValueType, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_fields(CorrectChargeRequest(reason=reason))
    assert [each.description for each in caught.value.violations if each.field == "reason"] == [text]
