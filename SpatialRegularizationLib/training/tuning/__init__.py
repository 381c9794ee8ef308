"""The search for hyperparameters: studies shared by processes (study.py), their surface and report, and dense sweeps."""
