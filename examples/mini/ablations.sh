#!/bin/sh
# The ablations of MAUGen's table 3, in the paper's order, by short trainings on the pictures of train.sh.
#
#   sh examples/mini/ablations.sh OUT [STEPS] [PICTURES]
#
# OUT is the folder that train.sh has filled. STEPS of 32 pictures each (default 2,000: twenty minutes a row on one core);
# the judge reads PICTURES of natural and as many of balanced label vectors (default 256).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$1"
steps=${2:-2000}
folders=""
row() { # NAME OPTIONS...
    name=$1 && shift
    ausynth train maugen --data store/portraits-none --data store/portraits-hard --preset mini --aus disfa-12 \
        --crop 64/88 --batch-size 32 --steps "$steps" --ema 0.99 --device cpu --precision bf16 --save-every 0 \
        --sample-every 0 --weight intensity=0.05 --weight occurrence=0.2 --out "ablations/$name" "$@"
    folders="$folders ablations/$name"
}
bare="--without lgfe --without text_queries --without mutual_conditioning"
row 1-no-identity $bare --without identity
row 2-identity-without-idm $bare --without modulation_mask --without residual_filter
row 3-modulation-mask $bare --without residual_filter
row 4-residual-filter $bare
row 5-mutual-conditioning --without lgfe --without text_queries
row 6-text-queries --without lgfe
row 7-lgfe
row 8-image-label --critic nets/residual --critic nets/separable --weight expression=0 --weight features=0
python "$root/benchmarks/maugen.py" --ablations $folders --judge nets/judge-calibrated --count "${3:-256}" \
    --natural others/held-out/portraits-none --balanced others/held-out/portraits-hard --json ablations.json
