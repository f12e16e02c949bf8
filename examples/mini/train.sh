#!/bin/sh
# The recipe of the MAUGen that comes with the package: pictures, detectors, generator, judge, figures.
#
#   AUSYNTH_ASSETS=assets sh examples/mini/train.sh BANK OUT
#
# BANK is a face bank (`ausynth faces build`), OUT a folder for everything that is made: about 4 GB. On two CPU cores:
# pictures 10 minutes, small networks 30, the generator 50, figures 10. Run again, what is there is not made again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bank=$(cd "$1" && pwd)
mkdir -p "$2" && cd "$2"
for name in portraits-none portraits-hard drawn-none drawn-hard; do
    sed "s#bank: bank#bank: $bank#" "$here/$name.yaml" > "$name.yaml"
done

# 136,000 pictures of 8,500 people, 88 pixels; all that follows sees the middle 64 of them.
ausynth warmup --config portraits-none.yaml --cache store/portraits-none --count 64000
ausynth warmup --config portraits-hard.yaml --cache store/portraits-hard --count 48000
ausynth warmup --config drawn-none.yaml --cache store/drawn-none --count 16000
ausynth warmup --config drawn-hard.yaml --cache store/drawn-hard --count 8000
data="--data store/portraits-none --data store/portraits-hard --data store/drawn-none --data store/drawn-hard"

# Other people for what is measured, for calibration, and for the judge: identity, seed and count of each set.
others() { # FOLDER FIRST-IDENTITY SEED PORTRAITS-NONE PORTRAITS-HARD DRAWN
    [ -d "others/$1/drawn-hard" ] && return
    seed=$3
    for each in "portraits-none $4" "portraits-hard $5" "drawn-none $6" "drawn-hard $6"; do
        python "$root/scripts/render_others.py" --config "${each% *}.yaml" --first-identity "$2" --seed "$seed" \
            --count "${each#* }" --out "others/$1/${each% *}"
        seed=$((seed + 1))
    done
}
others held-out 1000000 901 3000 3000 1000
others calibration 1500000 911 3000 3000 1000
others judge 2000000 921 18000 14000 4000
of() { for name in portraits-none portraits-hard drawn-none drawn-hard; do printf -- "--data others/%s/%s " "$1" "$name"; done; }

# Three detectors, each of another family and on two thirds of the people, and the judge, which nothing else sees.
view="--crop 64/88 --aus disfa-12"
detector() { [ -d "nets/$1" ] || { name=$1 && shift && ausynth train detector "$@" $view --out "nets/$name"; }; }
detector residual $data --architecture residual --split 0/3 --steps 2557 --seed 11
detector separable $data --architecture separable --split 1/3 --steps 2267 --seed 12
detector patches $data --architecture patches --split 2/3 --steps 2600 --seed 13
detector judge $(of judge) --architecture plain --width 20 --split 0/12 --steps 3000 --seed 77
[ -d nets/identity ] || ausynth train identity $data --crop 64/88 --split 0/6 --steps 2000 --seed 21 --out nets/identity
verifier() { # NAME NETWORKS...
    [ -d "nets/$1" ] && return
    out="nets/$1" && shift
    nets=""
    for each in "$@"; do nets="$nets --nets nets/$each"; done
    ausynth train verifier $nets $(of calibration) --crop 64/88 --out "$out"
}
verifier verifier residual separable patches
verifier judge-calibrated judge

# The generator, in two processes of 20 pictures each. First it learns to paint; then two detectors look at what it
# paints, which brings the expressions out, in strokes that only a detector would love; at last they count little, which
# takes the strokes away. Each line goes on where the one before has stopped.
maugen() {
    torchrun --nproc-per-node 2 -m ausynth train maugen $data --preset mini $view --batch-size 20 --out maugen \
        --first-passes 0.15 --drop-expression 0.1 --ema 0.998 --bank 512 --precision bf16 --device cpu \
        --save-every 250 --sample-every 250 \
        --weight intensity=0.002 --weight occurrence=0.01 --weight image_label=0 "$@"
}
critics="--critic nets/residual --critic nets/separable"
maugen --steps 4500 --stop 2250
maugen --steps 4800 --stop 2750 $critics --weight expression=0.03 --weight features=0.15
maugen --steps 4900 --stop 3500 $critics --weight expression=0.012 --weight features=0.1
maugen --steps 4750 $critics --weight expression=0.002 --weight features=0.03

# What the judge says of it, and the checkpoint to pass on.
python "$root/benchmarks/maugen.py" --checkpoint maugen --judge nets/judge-calibrated --identity-net nets/identity \
    --verifier nets/verifier --natural others/held-out/portraits-none others/held-out/drawn-none \
    --balanced others/held-out/portraits-hard others/held-out/drawn-hard --bank "$bank" \
    --json figures.json --reliability reliability.json
ausynth train release maugen --out mini --verifier nets/verifier --figures figures.json
cp reliability.json mini/verifier/
