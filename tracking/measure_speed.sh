#!/bin/sh
# Measure the tables of docs/speed.md, on a CPU or on a GPU: sh tracking/measure_speed.sh gpu [FOLDER]
#
# FOLDER (output/speed/cpu or output/speed/gpu) gets report.txt with all tables, and a JSON file for each part. The exit
# code is 0 if all was measured or there is no GPU to measure, 1 if a part failed; the others are measured all the same.
# Parts are in order of importance: after some time no further one begins.

set -u
python=${PYTHON:-python}
kind=${1:-}
out=${2:-output/speed/$kind}
tracking=$(dirname "$0")
large="--config grm_vitb --config ostrack_vitb_256_ce --config simtrack_b16 --config transt --config stark_sv_b16"
twins="--config grm_tiny --config ostrack_tiny --config simtrack_tiny --config stark_tiny --config transt_tiny"
elimination="--config ostrack_vitb_256_ce"

part() {  # NAME, then options of profile_model.py
    name=$1
    shift
    if [ $(($(date +%s) - begun)) -gt "$seconds" ]; then
        echo "left out: $name: $seconds seconds have passed" | tee -a "$out/report.txt"
        return
    fi
    "$python" "$tracking/profile_model.py" --device "$device" --json "$out/$name.json" "$@" > "$out/part.txt"
    code=$?
    [ $code -eq 0 ] || echo "FAILED $name: exit code $code" >> "$out/part.txt"
    { echo "# $name"; echo; cat "$out/part.txt"; echo; } | tee -a "$out/report.txt"
    rm "$out/part.txt"
    [ $code -lt 128 ] || exit $code  # stopped
    [ $code -eq 0 ] || failed=1
}

case $kind in
    cpu) device=cpu seconds=5400 ;;
    gpu) device=cuda seconds=330 ;;
    *) echo "usage: sh tracking/measure_speed.sh cpu|gpu [FOLDER]" >&2; exit 2 ;;
esac
if [ $kind = gpu ] && ! "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    echo "PyTorch sees no CUDA here, so there is nothing to measure"
    exit 0
fi
mkdir -p "$out" && : > "$out/report.txt" || exit 1
begun=$(date +%s) failed=0
trap 'exit 130' INT
if [ $kind = gpu ]; then
    part forms $large --forms eager:fp32,eager:bf16,captured:fp32,captured:bf16 --batch 1,16
    part training --config grm_vitb --frames 0 --training 40
    part engine --config grm_vitb --forms captured:bf16 --frames 0 --engine 1,2,4,8,16,32,64,128 --engine-threads 16
    part compiled --config grm_vitb --forms eager:fp32,compiled:bf16 --batch 1,16
    part engine_elimination $elimination --forms captured:bf16 --frames 0 --engine 1,16,128 --engine-threads 16
else
    exported=onnx:fp32,onnx:int8,openvino:fp32,openvino:bf16
    slow="--frames 20 --warmup 2"
    part engine --config grm_tiny --forms eager:fp32,openvino:fp32 --frames 0 --engine 1,8,16 --engine-frames 1600
    part batches_one_thread $twins --forms eager:fp32,eager:bf16,onnx:fp32,openvino:fp32 \
        --batch 1,8,16 --frames 160 --threads 1
    part training_one_thread --config grm_vitb --frames 0 --training 8 --threads 1
    part forms_one_thread $large --config ostrack_vitb_256 --forms eager:fp32,eager:bf16,$exported $slow --threads 1
    part all_threads --config grm_vitb --config transt --forms eager:fp32,eager:bf16,openvino:bf16 $slow
    part compiled_one_thread --config grm_vitb --config transt --forms eager:fp32,compiled:fp32,compiled:bf16 $slow \
        --threads 1
fi
echo "report: $out/report.txt"
exit $failed
