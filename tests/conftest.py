import hypothesis

# How long an example takes says something about the machine only.
hypothesis.settings.register_profile("mtcnn_tf", deadline=None)
hypothesis.settings.load_profile("mtcnn_tf")
