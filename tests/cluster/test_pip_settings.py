"""pip's settings for builds in another root."""

from pathlib import Path

from cluster.pip_settings import local_paths, parse, render

LISTING = """\
:env:.cert='/env/ca.crt'
:env:.no-color='1'
global.cert='/global/ca.crt'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
install.index-url='https://index.example/simple'
freeze.timeout='10'
"""


def test_environment_beats_files_and_other_settings_stay_out() -> None:
    """Only what it takes to reach the index is passed on."""
    assert parse(LISTING) == {
        "cert": "/env/ca.crt",
        "extra-index-url": "\nhttps://one.example/simple\nhttps://two.example/simple",
        "index-url": "https://index.example/simple",
    }


def test_rendered_file_has_one_line_per_setting() -> None:
    """A value of several lines becomes one line, which pip reads as a list."""
    lines = render(parse(LISTING)).splitlines()
    assert lines[0] == "[global]"
    assert "extra-index-url = https://one.example/simple https://two.example/simple" in lines


def test_only_paths_that_exist_are_passed_on(tmp_path: Path) -> None:
    """A link list may name addresses too."""
    assert local_paths({"find-links": f"{tmp_path} /not/there https://x.example"}) == [tmp_path]
