"""Names of FHIR and of HL7's terminology beside ours, and the addresses of extensions."""

from atoll.patients.v1.patient_pb2 import (
    ADMINISTRATIVE_GENDER_FEMALE,
    ADMINISTRATIVE_GENDER_MALE,
    ADMINISTRATIVE_GENDER_OTHER,
    ADMINISTRATIVE_GENDER_UNKNOWN,
    CONTACT_SYSTEM_EMAIL,
    CONTACT_SYSTEM_PHONE,
    CONTACT_USE_HOME,
    CONTACT_USE_MOBILE,
    CONTACT_USE_OLD,
    CONTACT_USE_TEMPORARY,
    CONTACT_USE_WORK,
    GENDER_IDENTITY_FEMALE,
    GENDER_IDENTITY_MALE,
    GENDER_IDENTITY_NON_BINARY,
    GENDER_IDENTITY_NON_DISCLOSE,
    GENDER_IDENTITY_OTHER,
    GENDER_IDENTITY_TRANSGENDER_FEMALE,
    GENDER_IDENTITY_TRANSGENDER_MALE,
    RELATED_PERSON_ROLE_EMERGENCY_CONTACT,
    RELATED_PERSON_ROLE_ESCORT,
    RELATED_PERSON_ROLE_GUARANTOR,
    SELF_PAY_BASIS_INSURANCE_NOT_USED,
    SELF_PAY_BASIS_UNINSURED,
)

URI_SYSTEM = "urn:ietf:rfc:3986"
LANGUAGE_SYSTEM = "urn:ietf:bcp:47"
IDENTIFIER_TYPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0203"
CONTACT_ROLE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0131"
RELATIONSHIP_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
GENDER_IDENTITY_SYSTEM = "http://hl7.org/fhir/gender-identity"
GENDER_IDENTITY_URL = "http://hl7.org/fhir/StructureDefinition/patient-genderIdentity"
US_CORE_GENDER_IDENTITY_URL = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-genderIdentity"

REPLACES, REPLACED_BY = "replaces", "replaced-by"
"""Kinds of links between records of one person."""

LOINC = "http://loinc.org"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
UNITS = "http://unitsofmeasure.org"
OBSERVATION_CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-category"
CONDITION_CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-category"
CONDITION_STATUS_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITION_VERIFICATION_SYSTEM = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CONDITION_ASSERTED_URL = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
CONSENT_SCOPE_SYSTEM = "http://terminology.hl7.org/CodeSystem/consentscope"
FLAG_CATEGORY_SYSTEM = "http://terminology.hl7.org/CodeSystem/flag-category"
ADVERSE_EVENT_SEVERITY_SYSTEM = "http://terminology.hl7.org/CodeSystem/adverse-event-severity"
ADVERSE_EVENT_OUTCOME_SYSTEM = "http://terminology.hl7.org/CodeSystem/adverse-event-outcome"

# Ours, for what FHIR has no place for.
MRN_SYSTEM = "urn:atoll:mrn"
PATIENT_SYSTEM = "urn:atoll:patient"
SITE_SYSTEM = "urn:atoll:site"
ACTOR_SYSTEM = "urn:atoll:actor"
PROTOCOL_SYSTEM = "urn:atoll:protocol"
ROLE_SYSTEM = "urn:atoll:fhir:related-person-role"
KIND_SYSTEM = "urn:atoll:fhir:kind"
HOME_SITE_URL = "urn:atoll:fhir:home-site"
SITE_URL = "urn:atoll:fhir:site"
TIME_ZONE_URL = "urn:atoll:fhir:time-zone"
VERIFIED_URL = "urn:atoll:fhir:verified"
CONFIDENTIAL_URL = "urn:atoll:fhir:confidential"
RANK_URL = "urn:atoll:fhir:rank"
SELF_PAY_URL = "urn:atoll:fhir:self-pay"
PROTOCOL_URL = "urn:atoll:fhir:protocol"
ROUTE_URL = "urn:atoll:fhir:route"
DOSE_BAND_URL = "urn:atoll:fhir:dose-band"
SESSION_MINUTES_MAX_URL = "urn:atoll:fhir:session-minutes-max"
CONDITION_URL = "urn:atoll:fhir:condition"
OVERRIDE_REASON_URL = "urn:atoll:fhir:override-reason"
PERIOD_URL = "urn:atoll:fhir:period"
SCREENING_URL = "urn:atoll:fhir:screening"
OUTCOME_URL = "urn:atoll:fhir:outcome"
REASON_URL = "urn:atoll:fhir:reason"
COURSE_SYSTEM = "urn:atoll:course"
VISIT_SYSTEM = "urn:atoll:visit"
DOCUMENT_VERSION_SYSTEM = "urn:atoll:consentdocumentversion"
QUESTIONNAIRE_VERSION_SYSTEM = "urn:atoll:questionnaireversion"
ITEM_SYSTEM = "urn:atoll:fhir:item"
INSTRUMENT_SYSTEM = "urn:atoll:fhir:instrument"
SIDE_EFFECT_SYSTEM = "urn:atoll:fhir:side-effect"
SEVERITY_SYSTEM = "urn:atoll:fhir:severity"
BAND_SYSTEM = "urn:atoll:fhir:band"
SAFETY_FLAG_SYSTEM = "urn:atoll:fhir:safety-flag"
MEASURE_URL = "urn:atoll:fhir:measure"
ACKNOWLEDGED_URL = "urn:atoll:fhir:acknowledged"
ADVERSE_EVENT_SYSTEM = "urn:atoll:fhir:adverse-event"
COURSE_URL = "urn:atoll:fhir:course"
VISIT_URL = "urn:atoll:fhir:visit"
SIGNED_URL = "urn:atoll:fhir:signed"
WITHDRAWN_URL = "urn:atoll:fhir:withdrawn"
PERMITTED_URL = "urn:atoll:fhir:permitted"
GRADE_URL = "urn:atoll:fhir:grade"
TREATMENT_ALLOWED_URL = "urn:atoll:fhir:treatment-allowed"
RESOLVED_URL = "urn:atoll:fhir:resolved"
RETRACTED_URL = "urn:atoll:fhir:retracted"
RANK_OF_DIAGNOSIS_URL = "urn:atoll:fhir:rank-of-diagnosis"
REVOKED_URL = "urn:atoll:fhir:revoked"
REVIEWED_URL = "urn:atoll:fhir:reviewed"

GENDERS = {
    "male": ADMINISTRATIVE_GENDER_MALE,
    "female": ADMINISTRATIVE_GENDER_FEMALE,
    "other": ADMINISTRATIVE_GENDER_OTHER,
    "unknown": ADMINISTRATIVE_GENDER_UNKNOWN,
}
GENDER_IDENTITIES = {
    "female": GENDER_IDENTITY_FEMALE,
    "male": GENDER_IDENTITY_MALE,
    "non-binary": GENDER_IDENTITY_NON_BINARY,
    "transgender-female": GENDER_IDENTITY_TRANSGENDER_FEMALE,
    "transgender-male": GENDER_IDENTITY_TRANSGENDER_MALE,
    "other": GENDER_IDENTITY_OTHER,
    "non-disclose": GENDER_IDENTITY_NON_DISCLOSE,
}
US_CORE_GENDER_IDENTITIES = {
    "446141000124107": GENDER_IDENTITY_FEMALE,
    "446151000124109": GENDER_IDENTITY_MALE,
    "33791000087105": GENDER_IDENTITY_NON_BINARY,
    "407376001": GENDER_IDENTITY_TRANSGENDER_MALE,
    "407377005": GENDER_IDENTITY_TRANSGENDER_FEMALE,
    "OTH": GENDER_IDENTITY_OTHER,
    "asked-declined": GENDER_IDENTITY_NON_DISCLOSE,
}
"""Of SNOMED CT and HL7's data-absent codes, as US Core binds them."""
USES = {
    "home": CONTACT_USE_HOME,
    "work": CONTACT_USE_WORK,
    "mobile": CONTACT_USE_MOBILE,
    "temp": CONTACT_USE_TEMPORARY,
    "old": CONTACT_USE_OLD,
}
SYSTEMS = {"phone": CONTACT_SYSTEM_PHONE, "sms": CONTACT_SYSTEM_PHONE, "email": CONTACT_SYSTEM_EMAIL}
ROLES = {
    "emergency-contact": RELATED_PERSON_ROLE_EMERGENCY_CONTACT,
    "escort": RELATED_PERSON_ROLE_ESCORT,
    "guarantor": RELATED_PERSON_ROLE_GUARANTOR,
}
CALLED = frozenset({"C", "N", "CP", "EP"})
"""Codes of v2-0131 for people who are called: (emergency) contact and next of kin."""
BASES = {"uninsured": SELF_PAY_BASIS_UNINSURED, "insurance-not-used": SELF_PAY_BASIS_INSURANCE_NOT_USED}
