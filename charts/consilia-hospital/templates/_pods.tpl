{{- /* Copied from charts/consilia by `make generate`. */ -}}
{{/* What every pod of the chart has in common: the restricted pod security standard, and nothing to write to. */}}
{{- define "consilia.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "consilia.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
