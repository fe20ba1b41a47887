"""The fields of Config by what they are for; `config.Config` is all of them together."""
