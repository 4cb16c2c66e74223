# bash reads this (BASH_ENV) before the command that MLflow gives it for a step, and hands the command
# to the supervisor. The user's own BASH_ENV, if any, is put back for the step.
if [ -n "$WORKFLOW_BASH_ENV" ]; then BASH_ENV=$WORKFLOW_BASH_ENV; else unset BASH_ENV; fi
exec "$WORKFLOW_PYTHON" -I -S "$WORKFLOW_SUPERVISOR" "$BASH_EXECUTION_STRING"
