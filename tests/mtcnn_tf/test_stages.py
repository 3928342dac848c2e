"""Which stages make the cascade of a folder."""

import pytest

from mtcnn_tf import stages

RPN, PNET, RNET, ONET = stages.ALL


@pytest.mark.parametrize(
    ("there", "until", "wanted"),
    [
        ((), ONET, (PNET, RNET, ONET)),
        ((), RPN, (RPN,)),
        ((PNET,), RNET, (PNET, RNET)),
        ((PNET, ONET), ONET, (PNET, RNET, ONET)),  # R-Net is yet to be trained
        ((RPN,), ONET, (RPN, ONET)),
        ((RPN, RNET), ONET, (RPN, RNET, ONET)),
        ((RPN, RNET), RPN, (RPN,)),
        ((RPN,), RNET, (RPN, RNET)),
    ],
)
def test_a_cascade_begins_with_the_first_stage_that_is_there(tmp_path, there, until, wanted):
    for stage in there:
        (tmp_path / stage.network_file).touch()
    assert stages.in_folder(tmp_path, until.name) == wanted
    before = (until,) if until in stages.FIRST else wanted[:-1]
    assert stages.proposers_in_folder(tmp_path, until) == before


def test_two_first_stages_are_refused(tmp_path):
    for stage in stages.FIRST:
        (tmp_path / stage.network_file).touch()
    with pytest.raises(ValueError, match=r"expected one first stage in .*, got rpn.keras and pnet.keras; keep them"):
        stages.in_folder(tmp_path)


def test_the_other_first_stage_is_refused(tmp_path):
    (tmp_path / "rpn.keras").touch()
    with pytest.raises(ValueError, match="expected pnet.keras in .*, got a cascade that begins with rpn"):
        stages.in_folder(tmp_path, "pnet")


def test_titles():
    assert [stage.title for stage in stages.ALL] == ["RPN", "P-Net", "R-Net", "O-Net"]
