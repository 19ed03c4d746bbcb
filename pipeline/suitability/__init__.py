"""Says when the classifier should not be asked: images without lungs, and images unlike the training images.

`features` computes what is compared, `reference` what the training images are like, `assessment` warns, and
`describe` measures the training images of a run.
"""
