"""The model card of a bundle, and what a user must know before trusting its maps."""

from __future__ import annotations

from typing import Any

from ground_tools.training.records import Record, chain, sets_in

_ORIENTATIONS = {"1": "with the image as it is", "8": "with all eight"}


def description(records: dict[str, Record]) -> str:
    """One line on a bundle. records: of the trainings, by role."""
    parts = [f"{role} on {' and '.join(_sets(record))}" for role, record in records.items()]
    return f"Small-body segmentation in five classes; trained: {', '.join(parts)}"


def limits(records: dict[str, Record]) -> list[str]:
    """What a user must know before trusting the maps. records: of the trainings, by role."""
    found = []
    for role, record in records.items():
        minutes = sum(float(part["minutes"]) for part in chain(record))
        found.append(
            f"{role}: {record['images']['train']} training images in the last of {len(list(chain(record)))} trainings, "
            f"{minutes / 60.0:.1f} hours in all."
        )
    if not any(_is_real(part) for record in records.values() for part in chain(record)):
        found.append("Rendered images only: no real image was used in training.")
    else:
        found.append("Few real images, of a few bodies: on others, craters and boulders suffer.")
    farther = any(part["recipe"].get("farther", 0.0) > 0.0 for record in records.values() for part in chain(record))
    smallest = "a third" if farther else "half"
    return [
        *found,
        "The unlit part of a body is labelled as surface in training; on a dark sky it cannot be told from space.",
        f"Bodies smaller than about {smallest} of the image, or filling it entirely, are unlike what was trained on.",
    ]


# Long because it is one page, from top to bottom.
def card(manifest: dict[str, Any]) -> str:
    """The model card, Markdown, from the manifest's own figures."""
    names = [definition["name"] for definition in manifest["classes"]]
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        f"{manifest['description']}. Made by `ground-tools export`; every figure below is in manifest.json.",
        "Figures over whole sets, and those of the uncertainty, are in docs/results.md.",
        "",
        "## Data and training",
        "",
        "A network's trainings, the last one first; each began from what the one below it left.",
        "",
        "| network | recipe | set | label rule | epochs | time | backend |",
        "|---|---|---|---|---|---|---|",
    ]
    for role, record in manifest["training"].items():
        lines += [_training_row(role, part) for part in chain(record)]
    for name, test in manifest["metrics"]["test"].items():
        lines += [
            "",
            f"## IoU on the test split of {name} ({test['images']} images, {test['passes']} passes, int8 files)",
            "",
            f"| mode | {' | '.join(names)} | mean |",
            f"|---|{'---|' * (len(names) + 1)}",
        ]
        for mode, figures in test.items():
            if isinstance(figures, dict):
                cells = " | ".join(_percent(figures["iou"].get(name)) for name in names)
                lines.append(f"| {mode} | {cells} | {_percent(figures['miou'])} |")
    defaults = manifest["defaults"]
    gamma = f"gamma {defaults['gamma']:g}, " if "fusion" in manifest else ""
    lines += [
        "",
        "IoU per class: the mean over the images that show the class.",
        f"{gamma}uncertainty threshold {defaults['uncertainty_threshold']:g} and passes through "
        f"{manifest['input']['orientations']} of the image's orientations were chosen on validation splits. There: "
        + "; ".join(
            f"{name} ({report['images']} images), "
            + ", ".join(
                f"mIoU {_percent(of['miou'])} and NLL {of['nll']:.3f} {_ORIENTATIONS[count]}"
                for count, of in report["by_orientations"].items()
            )
            for name, report in manifest["metrics"]["validation"].items()
        )
        + ".",
        "",
        "## Temperature",
        "",
        "A factor on the scores, fitted on validation images, in the last layer: "
        + "; ".join(
            f"{role}: {report['score_factor']:.2f}, ECE {_percent(report['before']['ece'])} before and "
            f"{_percent(report['after']['ece'])} after, NLL {report['before']['nll']:.3f} and "
            f"{report['after']['nll']:.3f} ({report['images']} images, float32)"
            for role, report in manifest["metrics"]["temperature"].items()
        )
        + ".",
        "",
        "## Quantization",
        "",
        "int8 against the float32 graph on test images, pass by pass with the same dropout masks: "
        + "; ".join(
            f"{role}: {100 * report['class_agreement']:.1f} % of the pixels of one class, relative score error "
            f"{report['relative_score_error']:.3f}"
            for role, report in manifest["parity"].items()
        )
        + ".",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in manifest["limits"]),
        "",
    ]
    return "\n".join(lines)


def _training_row(role: str, record: Record) -> str:
    recipe = record["recipe"]
    sets = " and ".join(f"{used['name']} ({used['sha256'][:12]})" for used in sets_in(record))
    rule = f"boulders from {recipe['minimum_boulder_pixels']} visible pixels"
    return (
        f"| {role} | {recipe['name']} | {sets} | "
        f"{rule if recipe['network'] == 'unet' else 'which body'} | {recipe['epochs']} | "
        f"{record['minutes']:g} min, {record.get('hardware', 'CPU')} | {record['backend']} |"
    )


def _sets(record: Record) -> list[str]:
    """Names of the sets that a network was trained on, in that order."""
    return list(dict.fromkeys(used["name"] for part in reversed(list(chain(record))) for used in sets_in(part)))


def _is_real(record: Record) -> bool:
    """Sets of real images are those that state by which rule they are split."""
    return record["dataset"].get("split_by") is not None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
