# Reads: join/sum.txt. Writes: shout.txt, the sum with a mark.
printf '%s%s\n' "$(cat "$1/sum.txt")" "$2" > "$WORKFLOW_OUTPUTS/shout.txt"
