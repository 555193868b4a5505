"""Recording of Gymnasium environments as dataset files: environments, policies, episodes and the command."""
