"""The search for hyperparameters: studies shared by processes, their response surface and report, dense sweeps."""
