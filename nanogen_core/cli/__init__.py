"""The command line: one thin file for each verb, loaded when the verb is used."""
