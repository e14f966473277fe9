{{/* What the operator is told, as consilia_operator.settings reads it. */}}
{{- define "consilia.settings" -}}
{{- $images := dict
      "worker" (include "consilia.image" (dict "root" . "image" .Values.images.worker))
      "kafka" (include "consilia.image" (dict "root" . "image" .Values.images.kafka))
      "pullPolicy" .Values.images.pullPolicy
      "pullSecrets" .Values.images.pullSecrets -}}
{{- $settings := merge (dict "images" $images "namespaces" (include "consilia.namespaces" . | fromJsonArray)) (deepCopy .Values.operator) -}}
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
{{- $certificates := .Values.operator.certificates -}}
{{- if ge (int $certificates.renewDays) (int $certificates.lastsDays) -}}
{{- fail (printf "operator.certificates.renewDays (%d) must be less than operator.certificates.lastsDays (%d): a certificate would be replaced as soon as it is made." (int $certificates.renewDays) (int $certificates.lastsDays)) -}}
{{- end -}}
{{- if and (eq $certificates.issuing "CertManager") (not $certificates.issuerRef) -}}
{{- fail "operator.certificates.issuing is CertManager: name its issuer in operator.certificates.issuerRef, with name and kind." -}}
{{- end -}}
{{- if and (eq $certificates.issuing "Builtin") $certificates.issuerRef -}}
{{- fail "operator.certificates.issuerRef is for cert-manager: set operator.certificates.issuing=CertManager, or leave it out." -}}
{{- end -}}
{{- if lt (int .Values.operator.deadWatchSeconds) (int .Values.operator.leaseSeconds) -}}
{{- fail (printf "operator.deadWatchSeconds (%d) must not be less than operator.leaseSeconds (%d): a new operator waits that long for the old one's Lease." (int .Values.operator.deadWatchSeconds) (int .Values.operator.leaseSeconds)) -}}
{{- end -}}
{{- end -}}
