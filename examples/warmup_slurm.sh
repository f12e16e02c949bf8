#!/bin/bash
# Fills the cache of a stream with a Slurm array job, one machine a task:
#
#     sbatch examples/warmup_slurm.sh stream.yaml /shared/faces 1000000
#
# Each task makes its own shards, so tasks need not know of each other. One that fails, runs out of time or is preempted
# loses at most the shards it was at: submit the same job again, and it makes what is missing and nothing else.
#
# stream.yaml holds arguments of MixedStream, for example:
#
#     real: none          # no real set on these machines: train with synthetic=/shared/faces, a pool for any ratio and fold
#     ratio: 1            # (or name the real set, ratio and hold_out of the training here, and train with cache=)
#     aus: disfa-8
#     image_size: 112
#
#SBATCH --job-name=ausynth-warmup
#SBATCH --array=0-15
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=warmup-%A_%a.log
# For a generator on a GPU, one GPU and a few cores a task:
##SBATCH --gpus-per-task=1

set -euo pipefail

config=$1
cache=$2
count=$3

shard_size=4096 # the same in all tasks: a multiple of the generator's block size
tasks=${SLURM_ARRAY_TASK_COUNT:-1}
task=$((${SLURM_ARRAY_TASK_ID:-0} - ${SLURM_ARRAY_TASK_MIN:-0}))

shards=$(((count + shard_size - 1) / shard_size))
share=$(((shards + tasks - 1) / tasks))
first=$((task * share))
last=$((first + share))

# `exec`, so that Slurm's signals reach the job itself and not this shell.
exec ausynth warmup --config "$config" --cache "$cache" --count "$count" \
    --shard-size "$shard_size" --shards "$first:$last"
