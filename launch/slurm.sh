#!/usr/bin/env bash
# A search on a Slurm cluster, with one process for each GPU:
#   sbatch launch/slurm.sh DIRECTORY
# The directory must be on storage that the first node can reach. When a node dies, all
# processes end; Slurm starts the job again, and the run is resumed.
#SBATCH --job-name=jaxtune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
directory="${1:?where to keep the run: sbatch launch/slurm.sh DIRECTORY}"
shift
# sbatch runs a copy of this file in another folder, so $0 does not lead to train.py
here="${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"
srun --kill-on-bad-exit=1 python "$here/launch/train.py" "$directory" --on pod "$@"
