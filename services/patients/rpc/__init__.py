"""Messages to commands and back, by noun. No rules, no SQL."""

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from atoll.patients.v1 import (
    clearance_service_pb2,
    patient_service_pb2,
    questionnaire_service_pb2,
    screening_service_pb2,
)
from chassis.db import Database
from services.patients.rpc.clearances import ClearanceServicer
from services.patients.rpc.patients import PatientServicer
from services.patients.rpc.questionnaires import QuestionnaireServicer
from services.patients.rpc.screenings import ScreeningServicer


def servicers(db: Database) -> Mapping[ServiceDescriptor, object]:
    return {
        patient_service_pb2.DESCRIPTOR.services_by_name["PatientService"]: PatientServicer(db),
        screening_service_pb2.DESCRIPTOR.services_by_name["ScreeningService"]: ScreeningServicer(db),
        clearance_service_pb2.DESCRIPTOR.services_by_name["ClearanceService"]: ClearanceServicer(db),
        questionnaire_service_pb2.DESCRIPTOR.services_by_name["QuestionnaireService"]: QuestionnaireServicer(db),
    }
