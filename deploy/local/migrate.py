"""Brings the databases of all services to their newest schema, as `python -m services.<name> migrate` does for one.

Several in one process, as much of the time goes into loading Alembic. Reads ATOLL_OWNER_DATABASE_URLS: {"patients": …}.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Mapping

from chassis.migrate import migrate


async def migrate_all(owner_urls: Mapping[str, str]) -> None:
    for service, url in owner_urls.items():
        try:
            await migrate(url, service)
        except Exception as error:
            traceback.print_exc()
            sys.exit(f"the migration of {service} failed: {str(error).partition(chr(10))[0]}")


if __name__ == "__main__":
    asyncio.run(migrate_all(json.loads(os.environ["ATOLL_OWNER_DATABASE_URLS"])))
