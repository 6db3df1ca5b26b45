"""Rows of examples: sorted, once each, whatever the order of arrival."""

import torch

from nanogen_eval.rows import Rows


def test_rows_are_those_of_the_examples_in_order_however_they_came():
    values = torch.arange(10.0)[:, None] * 2
    rows = Rows()
    for part in ([7, 2], [9, 0, 1], [2, 3, 4, 5, 6, 8]):  # 2 comes twice
        rows.add(torch.tensor(part), value=values[part])
    assert rows["value"].equal(values)
    assert len(rows) == 10


def test_merged_rows_are_those_of_one_process():
    one, other = Rows(), Rows()
    one.add(torch.tensor([0, 2]), value=torch.tensor([0.0, 2.0]))
    other.add(torch.tensor([1, 3]), value=torch.tensor([1.0, 3.0]))
    one.merge(other.state())
    one.merge(Rows().state())
    assert one["value"].tolist() == [0, 1, 2, 3]


def test_the_first_of_two_counts():
    rows = Rows()
    rows.add(torch.tensor([5]), value=torch.tensor([1.0]))
    rows.add(torch.tensor([5]), value=torch.tensor([2.0]))
    assert rows["value"].tolist() == [1.0]


def test_nothing_is_nothing():
    assert len(Rows()) == 0
    assert Rows().state() == {}
