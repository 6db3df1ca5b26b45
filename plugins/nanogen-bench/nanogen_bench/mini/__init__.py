"""`nanogen bench mini`: the whole experiment in small. A plan of methods, trained on both tasks with equal steps.

The folder that it fills (by default `runs/mini`):

    plan.yaml                   the plan as it was run, `--quick` included
    TASK/METHOD/seed-N/         a run like any other: config.yaml, log.jsonl, samples/step-*.png, the pipeline
        scores.json             its scores, as `nanogen evaluate` writes them (`nanogen_eval.record`)
        result.json             that it is finished, for which question, and what it cost, with the SHA-256 of its
                                values; failure.json if it failed
    prepared/NAME/              a run that others need first (a decoder); no scores.json
    logs/                       what each process said, one text for each run
    runs.csv                    a row for each run: model, family, task, seed, its scores, their n, its cost
    table.csv                   a row for each method: model, family, the means over seeds of both tasks' scores,
                                NAME_sd beside each, the number of seeds, notes where fingerprints differ
    correlations.json           x column -> the study, as `nanogen bench correlate --json` prints it
    audits.json                 method -> the audit of its class run against its text run, seed by seed

A run counts as finished while its question (configuration, number of pictures, the runs that it needs) is the same:
the command can be stopped or killed at any time, and goes on where it was.
"""
