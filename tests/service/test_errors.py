"""The exception tree: drawn as it is, with stable codes and a message that says what to do."""

import inspect

import pytest

from service import errors


def classes() -> list[type[errors.BreastCascadeError]]:
    return [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.BreastCascadeError)]


def test_message_says_found_wanted_and_remedy() -> None:
    with pytest.raises(errors.BadParameter, match=r"^Found threshold 2; wanted 0 to 1\. Leave it out\.$") as caught:
        raise errors.BadParameter("threshold 2", "0 to 1", "Leave it out.")
    assert (caught.value.found, caught.value.wanted, caught.value.remedy) == ("threshold 2", "0 to 1", "Leave it out.")


def test_a_code_of_its_own_stands_before_the_class_one() -> None:
    assert errors.UnusableImage("a", "b", "c").code == "unusable_image"
    assert errors.UnusableImage("a", "b", "c", "truncated").code == "truncated"


def test_every_class_has_its_own_code_and_is_in_the_drawing() -> None:
    codes = [one.code for one in classes()]
    assert len(set(codes)) == len(codes)
    assert errors.__doc__ is not None
    assert all(one.__name__ in errors.__doc__ for one in classes())


@pytest.mark.parametrize(
    ("leaf", "branch"),
    [
        (errors.TooLarge, errors.InputError),
        (errors.UnknownFormat, errors.InputError),
        (errors.UnknownPipeline, errors.InputError),
        (errors.ManifestError, errors.SetupError),
        (errors.WeightsError, errors.SetupError),
        (errors.DeviceError, errors.SetupError),
        (errors.Busy, errors.CapacityError),
        (errors.Draining, errors.CapacityError),
        (errors.QueueFull, errors.CapacityError),
        (errors.DiskFull, errors.CapacityError),
        (errors.DatabaseAway, errors.CapacityError),
        (errors.UnknownJob, errors.InputError),
        (errors.Conflict, errors.InputError),
    ],
)
def test_leaves_hang_where_drawn(leaf: type[Exception], branch: type[Exception]) -> None:
    assert issubclass(leaf, branch)


def test_capacity_errors_say_when_to_come_back() -> None:
    assert errors.Busy("a", "b", "c").retry_after >= 1
    assert errors.Draining("a", "b", "c").retry_after >= 1
    assert errors.QueueFull("a", "b", "c", retry_after=77).retry_after == 77
    assert errors.QueueFull("a", "b", "c").retry_after == errors.QueueFull.retry_after


def test_what_ends_a_worker_is_nobodys_fault() -> None:
    for one in (errors.LeaseLost, errors.Cancelled):
        assert not issubclass(one, (errors.InputError, errors.SetupError, errors.CapacityError))
