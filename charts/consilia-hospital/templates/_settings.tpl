{{/* What the operator is told, as consilia_operator.settings reads it. */}}
{{- define "consilia.settings" -}}
{{- $worker := include "consilia.image" (dict "root" . "image" .Values.images.worker) -}}
{{- $images := dict
      "worker" $worker
      "kafka" $worker
      "pullPolicy" .Values.images.pullPolicy
      "pullSecrets" .Values.images.pullSecrets -}}
{{- $derived := dict
      "images" $images
      "roles" (list "Hospital")
      "hospital" .Release.Namespace
      "namespaces" (include "consilia.namespaces" . | fromJsonArray) -}}
{{- $settings := merge $derived (deepCopy .Values.operator) -}}
{{- range $of, $size := $settings.sizes -}}
{{- range $kind, $amounts := $size -}}
{{- range $name, $amount := $amounts -}}
{{- /* A values file's numbers are floats, and large ones of those are written with an exponent. */ -}}
{{- $whole := and (kindIs "float64" $amount) (eq (floor $amount) $amount) -}}
{{- $_ := set $amounts $name (ternary (printf "%.0f" (float64 $amount)) (toString $amount) $whole) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson $settings -}}
{{- end -}}

{{/* What the schema cannot say. Each refusal names the values and the way out. */}}
{{- define "consilia.check" -}}
{{- if has .Release.Namespace (list "default" "kube-system" "kube-public" "aggregator") -}}
{{- fail (printf "the namespace is the hospital's name, and %s is none: install into a namespace of its own, such as --namespace riverside --create-namespace." .Release.Namespace) -}}
{{- end -}}
{{- if lt (int .Values.operator.deadWatchSeconds) (int .Values.operator.leaseSeconds) -}}
{{- fail (printf "operator.deadWatchSeconds (%d) must not be less than operator.leaseSeconds (%d): a new operator waits that long for the old one's Lease." (int .Values.operator.deadWatchSeconds) (int .Values.operator.leaseSeconds)) -}}
{{- end -}}
{{- end -}}
