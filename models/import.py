#!/usr/bin/env python3
"""Imports AWS service models from a botocore wheel, without their documentation.

Usage: models/import.py WHEEL [--check]

Writes models/SERVICE.json for each service below: metadata, operations, shapes and
paginators. With --check nothing is written; a difference is an error.
"""

import gzip
import json
import pathlib
import sys
import zipfile

# Name of the service: folder in the wheel.
SERVICES = {
    "acm": "botocore/data/acm/2015-12-08",
    "ecs": "botocore/data/ecs/2014-11-13",
    "elbv2": "botocore/data/elbv2/2015-12-01",
    "iam": "botocore/data/iam/2010-05-08",
    "sts": "botocore/data/sts/2011-06-15",
}
# Members that agents send and the public model leaves out.
AGENTS = {"ecs": {"RegisterContainerInstanceRequest": {"clientToken": {"shape": "String"}}}}
PROSE = {"documentation", "deprecatedMessage", "deprecatedSince"}


def without_prose(value):
    if isinstance(value, dict):
        return {
            key: without_prose(item)
            for key, item in value.items()
            if not (key in PROSE and isinstance(item, str))
        }
    if isinstance(value, list):
        return [without_prose(item) for item in value]
    return value


def read_json(wheel, path):
    if path + ".gz" in wheel.namelist():
        return json.loads(gzip.decompress(wheel.read(path + ".gz")))
    return json.loads(wheel.read(path)) if path in wheel.namelist() else {}


def imported(wheel, name, folder):
    service = without_prose(read_json(wheel, f"{folder}/service-2.json"))
    for shape, members in AGENTS.get(name, {}).items():
        service["shapes"][shape]["members"].update(members)
    paginators = read_json(wheel, f"{folder}/paginators-1.json").get("pagination", {})
    model = {
        "source": pathlib.Path(wheel.filename).name.rsplit("-py", 1)[0],
        "metadata": service["metadata"],
        "operations": service["operations"],
        "shapes": service["shapes"],
        "pagination": paginators,
    }
    return json.dumps(model, indent=1, sort_keys=True) + "\n"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    here = pathlib.Path(__file__).parent
    with zipfile.ZipFile(arguments[0]) as wheel:
        for name, folder in SERVICES.items():
            target = here / f"{name}.json"
            text = imported(wheel, name, folder)
            if "--check" not in sys.argv:
                target.write_text(text)
            elif target.read_text() != text:
                sys.exit(f"{target} differs from {arguments[0]}: run models/import.py on it")


if __name__ == "__main__":
    main()
