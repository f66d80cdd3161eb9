"""What tells how likely two records are one person's, as messages."""

from collections.abc import Iterable

from atoll.patients.v1 import duplicate_pb2 as pb
from chassis.ids import to_wire
from services.patients.domain.duplicates import Evidence, Likeness, Match


def to_match(match: Match) -> pb.DuplicateMatch:
    return pb.DuplicateMatch(
        patient_id=to_wire("patient", match.patient_id),
        score=match.likeness.score,
        grade=to_grade(match.likeness),
        evidence=to_evidence(match.likeness.evidence),
        home_site_id=to_wire("site", match.home_site_id),
    )


def to_grade(likeness: Likeness) -> pb.DuplicateGrade.ValueType:
    return pb.DuplicateGrade.Value(f"DUPLICATE_GRADE_{likeness.grade or 'UNSPECIFIED'}")


def to_evidence(evidence: Iterable[Evidence]) -> list[pb.DuplicateEvidence]:
    return [
        pb.DuplicateEvidence(
            trait=pb.DuplicateTrait.Value(f"DUPLICATE_TRAIT_{each.trait}"),
            agreement=pb.DuplicateAgreement.Value(f"DUPLICATE_AGREEMENT_{each.agreement}"),
        )
        for each in evidence
    ]
