{# The current rows of a raw table, each once, with exact types.

   - a table that is missing is empty, and a column that is missing is null,
   - the schemas of var claude_schemas become one relation,
   - of a key, the row with the greatest extracted_at stays: append-only targets keep them all,
   - rows that ACTIVATE_VERSION has marked leave (_sdc_deleted_at),
   - rows of a bucket or full table that a later run has read without them leave (report_buckets). #}
{% macro claude_stage(name) %}
{%- set table = claude.claude_tables()[name] -%}
{%- set keys = ['organization_type', 'organization_id'] + (table.bucket or ['bucket_width']) -%}
with raw_rows as (
    {{ claude.claude_raw_rows(name, table) | indent(4) }}
),

{% if name != 'report_buckets' -%}
last_reads as (
    select {{ keys | join(', ') }}, max(extracted_at) as read_at
    from {{ ref('stg_claude__report_buckets') }}
    where stream = '{{ name }}'{{ '' if table.bucket else " and bucket_width = 'full'" }}
    group by {{ keys | join(', ') }}
),

{% endif -%}
versions as (
    select
        raw_rows.*,
        row_number() over (
            partition by {{ table.key | join(', ') }} order by extracted_at desc
        ) as claude_version
    from raw_rows
)

select
    {%- for column in table.columns %}
    versions.{{ column }}{{ '' if loop.last else ',' }}
    {%- endfor %}
from versions
{% if name != 'report_buckets' -%}
left join last_reads
    on versions.organization_type = last_reads.organization_type
    and versions.organization_id = last_reads.organization_id
    {%- for column in table.bucket %}
    and versions.{{ column }} = last_reads.{{ column }}
    {%- endfor %}
{% endif -%}
where claude_version = 1
{%- if name != 'report_buckets' %}
    and (last_reads.read_at is null or last_reads.read_at <= versions.extracted_at)
{%- endif %}
{% endmacro %}


{# The rows of a table in all schemas, with the types of the tap's catalogue. #}
{% macro claude_raw_rows(name, table) -%}
{%- set first = source('claude', name) -%}
{%- set schemas = var('claude_schemas') or [first.schema] -%}
{%- set found = namespace(parts=[]) -%}
{%- for schema in schemas -%}
    {%- set relation = first if loop.first else api.Relation.create(
        database=first.database, schema=schema, identifier=first.identifier
    ) -%}
    {%- set columns = claude.claude_raw_columns(relation, name) -%}
    {%- if columns is not none -%}
        {%- if execute and target.type == 'duckdb' and schema and relation.database | lower == schema | lower -%}
            {%- do exceptions.raise_compiler_error(
                'DuckDB cannot tell the schema ' ~ schema ~ ' from a file of the same name: rename '
                ~ target.path ~ ', or set var claude_schema'
            ) -%}
        {%- endif -%}
        {%- do found.parts.append([relation, columns]) -%}
    {%- endif -%}
{%- endfor -%}
{%- for relation, columns in found.parts -%}
select
    {%- for column, type in table.columns.items() %}
    {{ claude.claude_column(column, type, columns) }} as {{ column }}{{ '' if loop.last else ',' }}
    {%- endfor %}
from {{ relation }}
{%- if '_sdc_deleted_at' in columns %}
where _sdc_deleted_at is null
{%- endif %}
{{ 'union all' if not loop.last }}
{% else -%}
select
    {%- for column, type in table.columns.items() %}
    {{ claude.claude_null(type) }} as {{ column }}{{ '' if loop.last else ',' }}
    {%- endfor %}
from (select 1 as nothing) as no_table
where nothing = 0
{%- endfor %}
{%- endmacro %}


{# The types of a raw table's columns by their names; none if there is no such table. An empty type
   means that nobody has looked. #}
{% macro claude_raw_columns(relation, name) %}
{%- set known = var('claude_tables') -%}
{%- set assumed = {} -%}
{%- for column in claude.claude_tables()[name].columns -%}
    {%- do assumed.update({column: ''}) -%}
{%- endfor -%}
{%- if known is not none -%}
    {%- do return(assumed if name in known else none) -%}
{%- endif -%}
{%- if not execute or not flags.INTROSPECT -%}
    {%- do return(assumed) -%}
{%- endif -%}
{%- set there = adapter.get_relation(relation.database, relation.schema, relation.identifier) -%}
{%- if there is none -%}
    {%- do return(none) -%}
{%- endif -%}
{%- set types = {} -%}
{%- for column in adapter.get_columns_in_relation(there) -%}
    {%- do types.update({column.name | lower: column.data_type | lower}) -%}
{%- endfor -%}
{%- do return(types) -%}
{% endmacro %}


{% macro claude_column(column, type, columns) -%}
{%- if column in columns -%}
{{ claude.claude_cast(column, type, columns[column]) }}
{%- else -%}
{{ claude.claude_null(type) }}
{%- endif -%}
{%- endmacro %}
