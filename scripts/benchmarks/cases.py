"""The pairs that the accuracy benchmarks register, with what is known of the right answer.

`load_set(name, limit)` returns a list of `Case`. All sets come from `../shared/data` beside the repository (environment
variable SPATIALREG_SHARED_DATA overrides it); nothing of it is stored in the repository.

    hippocampus   ordered pairs of different people, 2 labels, 1 mm crops of different sizes, started centre on centre
    lung          one breathing CT pair, 10 landmarks, masks, 35 mm apart at the start
    head          label maps of 14 people turned into T1-like images: skull-stripped 160x192x224 crops (`head`),
                  whole heads at native size (`head_whole`); Dice over 29 structures
    brain_t1      three real skull-stripped brains, labels for one of them: similarity and regularity only
    ms            oblique anisotropic longitudinal pairs and T1/FLAIR pairs with reference rigid/affine transforms
    abdomen       CT and MR of different people: regularity and time only
    breathing     real CT and MR moved by a known displacement that slides at an organ's border (see breathing.py)

Arrays are numpy in (i, j, k) order, positions LPS mm.
"""

from __future__ import annotations

import sys

import breathing
import heads
import numpy as np
import SimpleITK as sitk
from known_pair import DATA, Case, read

HIPPOCAMPUS_SEED = 20240


def hippocampus_cases(limit: int | None) -> list[Case]:
    """Random ordered pairs of different people, a fixed seed; the first n pairs do not depend on the limit."""
    files = sorted((DATA / "hippocampus" / "images").glob("*.nii.gz"))
    random = np.random.default_rng(HIPPOCAMPUS_SEED)
    cases = []
    for _ in range(20 if limit is None else limit):
        f, m = (files[n] for n in random.choice(len(files), 2, replace=False))
        fixed, fixed_grid = read(f)
        moving, moving_grid = read(m)
        cases.append(
            Case(
                name=f"hippocampus_{f.name[12:15]}_{m.name[12:15]}",
                fixed=fixed,
                moving=moving,
                fixed_grid=fixed_grid,
                moving_grid=moving_grid,
                preset="brain-mri",
                start="center",
                labels=(1, 2),
                fixed_labels=read(DATA / "hippocampus" / "labels" / f.name, np.int32)[0],
                moving_labels=read(DATA / "hippocampus" / "labels" / m.name, np.int32)[0],
            )
        )
    return cases


def lung_cases(limit: int | None) -> list[Case]:
    """Baseline fixed, follow-up moving; landmarks are given as voxel indices."""
    fixed, fixed_grid = read("lung_ct/baseline.mha")
    moving, moving_grid = read("lung_ct/followup.mha")
    points = []
    for name, grid in (("baseline", fixed_grid), ("followup", moving_grid)):
        text = (DATA / "lung_ct" / f"{name}_landmarks_index.txt").read_text().split()
        points.append(grid.index_to_point(np.array(text[2:], dtype=np.float64).reshape(-1, 3)))
    return [
        Case(
            name="lung_ct",
            fixed=fixed,
            moving=moving,
            fixed_grid=fixed_grid,
            moving_grid=moving_grid,
            preset="chest-ct",
            start="affine",
            fixed_points=points[0],
            moving_points=points[1],
            fixed_mask=read("lung_ct/baseline_mask.mha")[0] > 0,
            moving_mask=read("lung_ct/followup_mask.mha")[0] > 0,
        )
    ][:limit]


def brain_t1_cases(limit: int | None) -> list[Case]:
    """Real brains b, c, a against one another; only a has labels."""
    images = {"a": "subject_a_image", "b": "subject_b", "c": "subject_c"}
    volumes = {key: read(f"brain_t1/{name}.nii.gz") for key, name in images.items()}
    labels = read("brain_t1/subject_a_labels.nii.gz", np.int32)[0]
    cases = []
    for f, m in (("c", "b"), ("b", "a"), ("c", "a"), ("a", "b"))[:limit]:
        cases.append(
            Case(
                name=f"brain_t1_{m}_to_{f}",
                fixed=volumes[f][0],
                moving=volumes[m][0],
                fixed_grid=volumes[f][1],
                moving_grid=volumes[m][1],
                preset="brain-mri",
                labels=heads.BRAIN_LABELS,
                fixed_labels=labels if f == "a" else None,
                moving_labels=labels if m == "a" else None,
            )
        )
    return cases


def _matrix(name: str) -> np.ndarray:
    """4x4 of an ITK affine text file: positions of the space registered to → positions of the named image."""
    transform = sitk.ReadTransform(str(DATA / "brain_ms_longitudinal" / f"patient01_{name}.txt"))
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix


def ms_cases(limit: int | None) -> list[Case]:
    """Longitudinal FLAIR and T1 pairs (oblique, anisotropic) and T1 → FLAIR within a study, with references."""
    common = {s: _matrix(f"study{s}_FLAIR_to_common_space") for s in (1, 2)}
    t1 = {s: _matrix(f"study{s}_T1W_intrastudy_to_FLAIR") for s in (1, 2)}
    flair_1_to_2 = common[2] @ np.linalg.inv(common[1])
    pairs = [
        ("study1_FLAIR", "study2_FLAIR", flair_1_to_2, "brain-mri"),
        ("study1_T1W", "study2_T1W", t1[2] @ flair_1_to_2 @ np.linalg.inv(t1[1]), "brain-mri"),
        ("study1_FLAIR", "study1_T1W", t1[1], "multi-modal"),
        ("study2_FLAIR", "study2_T1W", t1[2], "multi-modal"),
    ]
    cases = []
    for f, m, reference, preset in pairs[:limit]:
        fixed, fixed_grid = read(f"brain_ms_longitudinal/patient01_{f}.nii.gz")
        moving, moving_grid = read(f"brain_ms_longitudinal/patient01_{m}.nii.gz")
        cases.append(
            Case(
                name=f"ms_{m}_to_{f}",
                fixed=fixed,
                moving=moving,
                fixed_grid=fixed_grid,
                moving_grid=moving_grid,
                preset=preset,
                start="affine",
                reference=reference,
                regions={"head": fixed > 0.1 * np.percentile(fixed, 99)},
            )
        )
    return cases


def abdomen_cases(limit: int | None) -> list[Case]:
    """CT slab and MR of two different people (another contrast and field of view), and the CT against its own slab."""
    ct, ct_grid = read("abdomen/ct_slab.nii.gz")
    mr, mr_grid = read("abdomen/mr.nii.gz")
    return [
        Case(
            name="abdomen_ct_to_mr",
            fixed=mr,
            moving=ct,
            fixed_grid=mr_grid,
            moving_grid=ct_grid,
            preset="multi-modal",
            start="affine",
            labels=(1, 2, 3, 5, 6, 7),
            fixed_labels=read("abdomen/mr_labels.nii.gz", np.int32)[0],
            moving_labels=read("abdomen/ct_slab_labels.nii.gz", np.int32)[0],
        )
    ][:limit]


def load_set(name: str, limit: int | None = None) -> list[Case]:
    """The cases of a set, at most `limit` of them (None: the set's own number).

    Raises:
        ValueError: unknown set.
        FileNotFoundError: the data folder is missing.
    """
    sets = {
        "hippocampus": hippocampus_cases,
        "lung": lung_cases,
        "head": heads.stripped_cases,
        "head_whole": heads.whole_cases,
        "brain_t1": brain_t1_cases,
        "ms": ms_cases,
        "abdomen": abdomen_cases,
        "breathing": breathing.breathing_cases,
    }
    if name not in sets:
        raise ValueError(f"Unknown set {name!r}; choose one of {', '.join(sets)}.")
    if not DATA.is_dir():
        raise FileNotFoundError(f"Data folder {DATA} is missing; set SPATIALREG_SHARED_DATA to where it lies.")
    return sets[name](limit)


if __name__ == "__main__":
    for case in load_set(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None):
        print(case.name, case.fixed.shape, case.moving.shape, case.fixed_grid.spacing, case.preset, case.start)
