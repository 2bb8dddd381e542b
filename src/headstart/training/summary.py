"""`summary`: a model's layers by group, as a table."""

from __future__ import annotations

from rich.table import Table
from torch import nn

from headstart.training.optim import Groups

__all__ = ["summary"]


def summary(model: nn.Module, groups: Groups) -> Table:
    """A row for each layer that has parameters, with their number and whether they train, and a sum for each group.

    Args:
        model: whose layers' names are shown.
        groups: its groups; a tied weight is counted in the first that has it.
    """
    table = Table("group", "layer", "kind", "parameters", "trains", show_edge=False)
    names = {id(module): name or "(model)" for name, module in model.named_modules()}
    for number, (parameters, modules) in enumerate(zip(groups.parameters, groups.modules, strict=True)):
        for module in modules:
            own = list(module.parameters(recurse=False))
            if own:
                count = sum(parameter.numel() for parameter in own)
                trains = "yes" if any(parameter.requires_grad for parameter in own) else "frozen"
                table.add_row(str(number), names[id(module)], type(module).__name__, f"{count:,}", trains)
        table.add_section()
        total = sum(parameter.numel() for parameter in parameters)
        table.add_row(str(number), "all", "", f"{total:,}", "", end_section=True)
    return table
