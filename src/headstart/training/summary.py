"""`summary`: a table of a model's layers by group."""

from __future__ import annotations

from rich.table import Table
from torch import nn

from headstart.training.optim import Groups

__all__ = ["summary"]


def summary(model: nn.Module, groups: Groups) -> Table:
    """Return a table of the layers with parameters, their numbers and whether they train, with a total per group.

    Args:
        model: the model.
        groups: parameter groups of the model; a tied weight is counted in the first group that contains it.
    """
    table = Table("group", "layer", "kind", "parameters", "trains", show_edge=False)
    names = {id(module): name or "(model)" for name, module in model.named_modules()}
    for number, (parameters, modules) in enumerate(zip(groups.parameters, groups.modules, strict=True)):
        for module in modules:
            direct = list(module.parameters(recurse=False))
            if direct:
                count = sum(parameter.numel() for parameter in direct)
                trains = "yes" if any(parameter.requires_grad for parameter in direct) else "frozen"
                table.add_row(str(number), names[id(module)], type(module).__name__, f"{count:,}", trains)
        table.add_section()
        total = sum(parameter.numel() for parameter in parameters)
        table.add_row(str(number), "all", "", f"{total:,}", "", end_section=True)
    return table
