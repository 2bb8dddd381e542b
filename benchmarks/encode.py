"""`TableCodec.encode` of all 336,776 flights: seven categorical columns and five continuous, three of them with gaps.

The codec is learnt beforehand from the flights whose delay is known; encoding is from a polars frame in memory to the
two tensors. One measurement is one call.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

from benchmarks.protocol import serve
from benchmarks.tables import CATEGORICAL, CONTINUOUS, TARGET, flights
from headstart import TabularData


def main() -> None:
    table = flights()
    data = TabularData.from_table(
        table, TARGET, where=f"{TARGET} IS NOT NULL", categorical=CATEGORICAL, continuous=CONTINUOUS
    )
    warnings.simplefilter("ignore")  # cancelled flights have no delay at departure, and those in training all have one

    def measure() -> dict[str, Any]:
        start = time.process_time()
        data.codec.encode(table)
        return {"seconds": time.process_time() - start}

    serve(measure, {"rows": len(table)})


if __name__ == "__main__":
    main()
