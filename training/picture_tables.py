"""What docs/measurements.md shows of the picture filters' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.markdown import decibel, same, table

HEADLINE_SIGMA = 25.0
BYTES_PER_KB = 10**3

PUBLISHED_NOISE = {
    "CBM3D": {15.0: 33.52, 25.0: 30.71, 50.0: 27.38},
    "FFDNet, 852 K parameters": {15.0: 33.87, 25.0: 31.21, 50.0: 27.96},
}
"""PSNR on CBSD68 by sigma, as the paper of FFDNet has it (arXiv:1710.04026)."""
PUBLISHED_GRAY = {
    "photos/BSD68": {
        "BM3D": {15.0: 31.08, 25.0: 28.57, 50.0: 25.60},
        "DnCNN, 555 K parameters": {15.0: 31.73, 25.0: 29.23, 50.0: 26.23},
    },
    "photos/Set12": {
        "BM3D": {15.0: 32.37, 25.0: 29.97, 50.0: 26.72},
        "DnCNN, 555 K parameters": {15.0: 32.86, 25.0: 30.44, 50.0: 27.18},
    },
}
"""By test set and sigma, as the paper of DnCNN has it (arXiv:1608.03981)."""
PUBLISHED_SUPERRES = {
    "FSRCNN, 13 K parameters (arXiv:1608.00367)": 37.00,
    "DRRN, 298 K parameters, shared (CVPR 2017)": 37.74,
}
"""PSNR of Y on Set5, twice the size."""

Rows = Sequence[Mapping[str, Any]]


def denoise_table(rows: Rows, _: object) -> str:
    """Return quality by engine, file, depth and noise level, beside published."""
    return _noise_table(rows, PUBLISHED_NOISE)


def live_profile_table(rows: Rows, _: object) -> str:
    """Return the same of the filter for cameras, which papers know no peer of."""
    return _noise_table(rows, {})


def _noise_table(rows: Rows, peers: Mapping[str, Mapping[float, float]]) -> str:
    sigmas = _sigmas(rows)
    cases: dict[tuple[Any, ...], dict[float, Mapping[str, Any]]] = {}
    for row in rows:
        case = (row["engine"], row["engine_version"], row["precision"], row["depth"])
        cases.setdefault(case, {})[row["sigma"]] = row
    head = ["engine", "version", "precision", "depth"]
    head += [f"{what} σ {sigma:g}" for what in ("PSNR", "SSIM") for sigma in sigmas]
    lines = [
        [*map(str, case)]
        + [decibel(found[s]["psnr_db"]) if s in found else "–" for s in sigmas]
        + [f"{found[s]['ssim']:.4f}" if s in found else "–" for s in sigmas]
        for case, found in cases.items()
    ]
    for name, published in peers.items():
        found_db = [f"{published[s]:.2f}" if s in published else "–" for s in sigmas]
        lines.append([name, "published", "", "", *found_db, *("" for _ in sigmas)])
    unfiltered = ["the noisy picture", "", "", "", *_noisy(rows, sigmas)]
    lines.append([*unfiltered, *("" for _ in sigmas)])
    (protocol, n_pictures, data) = same(rows, "protocol", "n_pictures", "data")
    said = (
        f"Mean PSNR (dB) and SSIM over {n_pictures} pictures ({data}), {protocol}"
        " protocol, true sigma given, results rounded to 8 bits."
    )
    return f"{table(head, lines)}\n\n{said}"


def gray_table(rows: Rows, _: object) -> str:
    """Return quality on gray test sets by depth and noise level, beside published."""
    sigmas = _sigmas(rows)
    head = ["test set", "what", *(f"PSNR σ {sigma:g}" for sigma in sigmas)]
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        of_data = [row for row in rows if row["data"] == data]
        for depth in dict.fromkeys(row["depth"] for row in of_data):
            db = {r["sigma"]: r["psnr_db"] for r in of_data if r["depth"] == depth}
            what = f"{of_data[0]['bundle']}, depth {depth}"
            lines.append([data, what, *(decibel(db[sigma]) for sigma in sigmas)])
        for name, published in PUBLISHED_GRAY.get(data, {}).items():
            told = [f"{published[s]:.2f}" if s in published else "–" for s in sigmas]
            lines.append([data, f"{name}, published", *told])
        lines.append([data, "the noisy picture", *_noisy(of_data, sigmas)])
    return f"{table(head, lines)}\n\n{_run_by(rows)}, published protocol."


def peers_table(rows: Rows, _: object) -> str:
    """Return quality, time and size beside other denoisers on the same pictures."""
    own = [row for row in rows if not row["peer"]]
    tables = [
        _peers_on([row for row in rows if row["data"] == data])
        for data in dict.fromkeys(row["data"] for row in rows)
    ]
    plot = f"![Quality over time, {rows[0]['data']}](denoise_peers.png)"
    return "\n\n".join(
        [*tables, plot, f"All by one run on one thread; {_run_by(own)}."]
    )


def _peers_on(rows: Rows) -> str:
    """Return one table; SSIM and times are those at the last noise level."""
    sigmas = _sigmas(rows)
    found: dict[str, dict[float, Mapping[str, Any]]] = {}
    for row in rows:
        what = row["peer"] or f"{row['bundle']}, depth {row['depth']}"
        found.setdefault(what, {})[row["sigma"]] = row
    head = ["what", *(f"PSNR σ {sigma:g}" for sigma in sigmas)]
    head += [f"SSIM σ {sigmas[-1]:g}", "ms a picture", "file KB"]
    lines = []
    for what, by_sigma in found.items():
        last = by_sigma[sigmas[-1]]
        kilobytes = "" if last["peer"] else f"{last['file_bytes'] / BYTES_PER_KB:.0f}"
        lines.append(
            [
                what,
                *(decibel(by_sigma[sigma]["psnr_db"]) for sigma in sigmas),
                f"{last['ssim']:.4f}",
                f"{last['ms']:,.0f}",
                kilobytes,
            ]
        )
    (n_pictures, data) = same(rows, "n_pictures", "data")
    return f"{n_pictures} pictures, {data}:\n\n{table(head, lines)}"


def enhance_table(rows: Rows, _: object) -> str:
    """Return quality on dark pictures beside peers, and on good ones."""
    dark = [row for row in rows if row["exposure"] == "dark"]
    head = ["what", "engine", "precision", "depth", "PSNR", "SSIM"]
    lines = [["the dark picture", "", "", "", decibel(dark[0]["untouched_psnr_db"])]]
    lines += [
        [
            row["peer"] or row["bundle"],
            *(str(row.get(key, "")) for key in ("engine", "precision", "depth")),
            decibel(row["psnr_db"]),
            f"{row['ssim']:.4f}",
        ]
        for row in sorted(dark, key=lambda row: not row["peer"])
    ]
    kept = table(
        ["strength", "depth", "PSNR", "SSIM"],
        [
            [
                "default" if row["strength"] is None else f"{row['strength']:g}",
                str(row["depth"]),
                decibel(row["psnr_db"]),
                f"{row['ssim']:.4f}",
            ]
            for row in rows
            if row["exposure"] == "good"
        ],
    )
    (n_pictures, data) = same(rows, "n_pictures", "data")
    return (
        f"{table(head, [line + [''] * (len(head) - len(line)) for line in lines])}\n\n"
        f"Mean over {n_pictures} pictures ({data}), each darkened by a gain of 1/10 to"
        " 1/2 and a gamma of 1 to 2.5, with noise of sigma 0 to 3, stored in 8 bits; no"
        " method is told which. The best gamma per picture is chosen with the wanted"
        " picture in hand, as nobody can.\n\n"
        f"{kept}\n\nWell-exposed pictures, which should stay as they are"
        f" ({rows[0]['bundle']}, int8 on litert)."
    )


def superres_table(rows: Rows, _: object) -> str:
    """Return quality by engine, file and depth, beside bicubic and published."""
    head = ["what", "version", "precision", "depth", "PSNR of Y", "SSIM"]
    lines = [
        [*_case(row), decibel(row["psnr_db"]), f"{row['ssim']:.4f}"] for row in rows
    ]
    (bicubic, n_pictures, data) = same(rows, "bicubic_psnr_db", "n_pictures", "data")
    lines.append(["bicubic", "", "", "", decibel(bicubic), ""])
    for name, published in PUBLISHED_SUPERRES.items():
        lines.append([name, "published", "", "", f"{published:.2f}", ""])
    return (
        f"{table(head, lines)}\n\nMean over {n_pictures} pictures ({data}), made half"
        " as large by bicubic reduction; a border of 2 pixels is left out."
    )


def looks_table(rows: Rows, _: object) -> str:
    """Return how near each look comes to OpenCV's operator, by depth."""
    looks = list(dict.fromkeys(row["look"] for row in rows))
    own = [row for row in rows if not row["peer"]]
    # One file is measured with every look, the others with the first alone.
    shown = next(_run(row) for row in own if row["look"] == looks[-1])
    default = [row for row in own if _run(row) == shown]
    depths = list(dict.fromkeys(row["depth"] for row in default))
    head = ["look", *(f"PSNR depth {depth}" for depth in depths), "nothing done"]
    head += ["SSIM", "ms a picture", "OpenCV ms"]
    lines = []
    for look in looks:
        found = [row for row in default if row["look"] == look]
        (peer,) = (row for row in rows if row["look"] == look and row["peer"])
        lines.append(
            [
                look,
                *(decibel(row["psnr_db"]) for row in found),
                decibel(found[0]["untouched_psnr_db"]),
                f"{found[-1]['ssim']:.4f}",
                f"{found[-1]['ms']:.1f}",
                f"{peer['ms']:.1f}",
            ]
        )
    others = table(
        ["engine", "version", "precision", "depth", "look", "PSNR"],
        [
            [*_case(row), row["look"], decibel(row["psnr_db"])]
            for row in own
            if row["look"] == looks[0]
        ],
    )
    (n_pictures, data) = same(rows, "n_pictures", "data")
    return (
        f"{table(head, lines)}\n\nMean over {n_pictures} pictures ({data}) against"
        f" what OpenCV's operators make of them; SSIM and times at depth {depths[-1]};"
        f" {_run_by(default)}.\n\n{others}"
    )


def _run(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["engine"], row["precision"]


def _case(row: Mapping[str, Any]) -> list[str]:
    keys = ("engine", "engine_version", "precision", "depth")
    return [str(row[key]) for key in keys]


def _sigmas(rows: Rows) -> list[float]:
    return sorted({row["sigma"] for row in rows})


def _noisy(rows: Rows, sigmas: Sequence[float]) -> list[str]:
    noisy = {row["sigma"]: row["noisy_psnr_db"] for row in rows}
    return [decibel(noisy[sigma]) for sigma in sigmas]


def _run_by(rows: Rows) -> str:
    (bundle, engine, precision) = same(rows, "bundle", "engine", "precision")
    return f"{bundle} is {precision} on {engine}"
