"""Small version of the DiffusionBench experiment (`nanogen bench mini`): a plan of methods, trained on both tasks.

Files of the output folder (by default `runs/mini`):

    plan.yaml                   the plan, including the changes of `--quick`
    TASK/METHOD/seed-N/         a run: config.yaml, log.jsonl, samples/step-*.png, the pipeline
        scores.json             scores, as `nanogen evaluate` writes them (`nanogen_eval.record`)
        result.json             of a finished run: its request, scores and cost, with a SHA-256
        failure.json            error of a failed run
    prepared/NAME/              a run that makes files for methods, such as training a decoder; without scores.json
    logs/TASK/METHOD/seed-N/    script and output (ID_0_log.out) of the run's jobs; job.json while SLURM has such a job
    runs.csv                    one row per run: model, family, task, seed, scores, n, cost
    table.csv                   one row per method: model, family, means of the scores over seeds, standard deviations
                                (NAME_sd), number of seeds, notes about differing fingerprints
    perturbed/NAME/TASK/...     the runs of a perturbation of the plan
    perturbations.json          correlations of all retrainings, and their spread, if the plan has perturbations
    correlations.json           x column -> study, as in `nanogen bench correlate --json`
    audits.json                 method -> audits, one per seed, of its runs on the two tasks

The request of a run consists of its configuration, number of samples and prepared runs. A finished run is not repeated
while its request is unchanged. An interrupted experiment can be resumed at any time.
"""
