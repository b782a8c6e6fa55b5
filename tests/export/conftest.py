"""Bundles that many tests look at; converting costs seconds, so it is done once."""

from dataclasses import dataclass

import pytest

from edge_runtime.bundle import Bundle
from export.order import Order
from export.pack import export_bundle
from export.plan import Plan
from tests.export import tiny_plans


@dataclass(frozen=True)
class Exported:
    """A bundle, its plan and what the export said."""

    plan: Plan
    bundle: Bundle
    said: tuple[str, ...]

    def data(self, model_format: str, precision: str) -> bytes:
        return self.bundle.model(model_format, precision).path.read_bytes()


def _exported(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    said: list[str] = []
    order = Order(tmp_path_factory.mktemp("exported") / plan.name)
    bundle = export_bundle(plan, order, said.append)
    return Exported(plan, bundle, tuple(said))


@pytest.fixture(scope="session")
def tiny_picture(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The picture plan's bundle: both formats, both precisions."""
    return _exported(tiny_plans.denoiser_plan(), tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_speech(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The speech plan's bundle: both formats, both precisions."""
    return _exported(tiny_plans.speech_plan(), tmp_path_factory)
