"""What the steps do with tables: their pure functions need no files and no MLflow."""

import pandas as pd

from steps.split import TARGET, parts


def test_every_row_is_in_one_part_and_each_cultivar_in_both() -> None:
    table = pd.DataFrame({"number": range(40), TARGET: [0, 1] * 20})
    train, test = parts(table, 0.25, seed=0)
    assert sorted([*train["number"], *test["number"]]) == list(range(40))
    assert len(test) == 10
    assert set(train[TARGET]) == set(test[TARGET]) == {0, 1}
