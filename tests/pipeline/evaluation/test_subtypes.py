from pipeline.evaluation import subtypes


def test_sensitivity_counts_only_pneumonias_of_a_known_subtype(make_predictions):
    predictions = make_predictions(
        labels=[1, 1, 1, 1, 0],
        probabilities=[0.9, 0.1, 0.8, 0.1, 0.9],
        subtypes=["virus", "virus", "bacteria", "", "virus"],
    )

    measured = subtypes.measure(predictions)

    assert measured.sensitivity_of_subtype == {"bacteria": 1.0, "virus": 0.5}


def test_without_subtypes_nothing_is_measured(make_predictions):
    assert subtypes.measure(make_predictions([0, 1], [0.1, 0.9])).sensitivity_of_subtype == {}
