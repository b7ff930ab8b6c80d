#!/usr/bin/env bash
# A search on a Slurm cluster, a process for each GPU: sbatch launch/slurm.sh DIRECTORY
# The directory has to be on storage that the first node reaches. When a node dies, all
# processes end; Slurm starts the job again, and the search goes on.
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
# sbatch runs a copy of this file from elsewhere
here="${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"
srun --kill-on-bad-exit=1 python "$here/launch/train.py" "$directory" --on pod "$@"
