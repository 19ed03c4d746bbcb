import io

from tuning.leaderboard import print_settings


def test_the_settings_of_a_trial_are_a_table():
    shown = io.StringIO()

    print_settings("Settings of trial 7", {"model.blocks": 4, "learning_rate": 0.00123456}, file=shown)

    lines = [line.strip("│ ┃") for line in shown.getvalue().splitlines()]
    assert "Settings of trial 7" in lines[0]
    assert ["model.blocks", "4"] in [line.replace("│", " ").split() for line in lines]
    assert ["learning_rate", "0.001235"] in [line.replace("│", " ").split() for line in lines]
