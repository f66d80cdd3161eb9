"""Wiring: `python -m services.patients serve | migrate | keys | reseal | recount | tell-deaths`."""

from chassis.service import Service, main
from services.patients import consumers
from services.patients.jobs import recall_consents
from services.patients.rpc import servicers
from services.patients.settings import PatientsSettings
from services.patients.store import PatientsStore


def count_keys(_: object) -> None:
    from services.patients import resealing  # With statements that a process which serves need not compile.

    resealing.count_keys()


def reseal(_: object) -> None:
    from services.patients import resealing

    resealing.reseal()


def recount(_: object) -> None:
    from services.patients import recounting

    recounting.recount()


def tell_deaths(_: object) -> None:
    from services.patients import retelling

    retelling.tell_deaths()


SERVICE = Service(
    name="patients",
    store_type=PatientsStore,
    servicers=servicers,
    reads=consumers.READS,
    jobs=(recall_consents,),
    settings_type=PatientsSettings,
    commands={"keys": count_keys, "reseal": reseal, "recount": recount, "tell-deaths": tell_deaths},
)

if __name__ == "__main__":
    main(SERVICE)
