"""Int8 for `.tflite`, every shared weight quantized once."""

from __future__ import annotations

from ai_edge_quantizer import qtyping, quantizer, recipe_manager

from export.plan import Plan
from export.quiet import quiet
from export.tflite_file import deduplicate

Operator = qtyping.TFLOperationName

STATIC_OPERATORS = (
    Operator.CONV_2D,
    Operator.DEPTHWISE_CONV_2D,
    Operator.FULLY_CONNECTED,
    Operator.ADD,
    Operator.MUL,
)
"""What static int8 covers. Whatever else a graph does — folding, the subtraction of
the noise from the picture, the clip — stays float, so a picture passes unquantized
around the network."""

DYNAMIC_OPERATORS = (Operator.FULLY_CONNECTED, Operator.CONV_2D)


def quantize_tflite(data: bytes, plan: Plan) -> bytes:
    """Return the int8 form of an fp32 `.tflite`, by the plan's scheme.

    Static int8 takes its ranges from the plan's calibration inputs. One recipe covers
    all uses of a weight: with two, the quantizer stores it twice and says nothing.
    """
    static = plan.quantization == "static"
    recipe = recipe_manager.RecipeManager()
    for operator in STATIC_OPERATORS if static else DYNAMIC_OPERATORS:
        recipe.add_quantization_config(
            regex=".*",
            operation_name=operator,
            algorithm_key="min_max_uniform_quantize",
            op_config=_static() if static else _dynamic(),
        )
    with quiet():
        tool = quantizer.Quantizer(bytearray(data))
        tool.load_quantization_recipe(recipe.get_quantization_recipe())
        ranges = None
        if static:
            inputs = list(plan.calibration)
            ranges = tool.calibrate({e.name: inputs for e in plan.entry_points})
        quantized = bytes(tool.quantize(ranges).quantized_model)
    return deduplicate(quantized)


def _static() -> qtyping.OpQuantizationConfig:
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=8,
            symmetric=False,
            granularity=qtyping.QuantGranularity.TENSORWISE,
        ),
        weight_tensor_config=_weights(),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _dynamic() -> qtyping.OpQuantizationConfig:
    return qtyping.OpQuantizationConfig(
        weight_tensor_config=_weights(),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _weights() -> qtyping.TensorQuantizationConfig:
    return qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
    )
